"""Each wrong answer to an exercise of 06 is told by a sentence that helps."""

import numpy as np
from refused import refused

from lab_utils.exercises import deployment as check

WRONG = {
    "normalized": [
        # the function that the notebook gives
        (lambda x, mean, std: (x.float() - mean) / (255 * std), "all at the mean"),
        (lambda x, mean, std: x / 255 / std - mean, "all at the mean"),
        (lambda x, mean, std: (x.float() - mean) / std, "all at the mean"),
        (lambda x, mean, std: x / 255 - mean, "white"),
        (lambda x, mean, std: (x / 255 - mean) / (255 * std), "white"),
        (lambda x, mean, std: (x // 255 - mean) / std, "all at the mean"),
        (lambda x, mean, std: (x / 255 - mean) / std**2, "white"),
        (lambda x, mean, std: (x.double() / 255 - mean) / std, "float64"),
        (lambda x, mean, std: ((x / 255 - mean) / std)[0], "the shape must stay"),
        (lambda x, mean, std: (x.numpy() / 255 - mean.numpy()) / std.numpy(), "not a tensor"),
    ],
    "onnx_input": [
        (lambda p: p.transpose(2, 0, 1)[None] / 255, "float64"),
        (lambda p: p.transpose(2, 0, 1)[None], "uint8"),
        (lambda p: p.astype(np.float32).transpose(2, 0, 1)[None], "255, not 1"),
        (lambda p: p.astype(np.float32).T[None] / 255, "(1, 3, 5, 2), not (1, 3, 2, 5)"),
        (lambda p: p.astype(np.float32).reshape(1, 3, *p.shape[:2]) / 255, "channel"),
        (lambda p: p.astype(np.float32).transpose(2, 0, 1) / 255, "(3, 2, 5), not (1, 3, 2, 5)"),
        (lambda p: p.astype(np.float32)[None] / 255, "(1, 2, 5, 3)"),
        (lambda p: p[..., ::-1].astype(np.float32).transpose(2, 0, 1)[None] / 255, "channel"),
        (lambda p: p.astype(np.float32).transpose(2, 0, 1)[None] / 127.5 - 1, "channel"),
        (lambda p: p.tolist(), "a list, not a NumPy array"),
    ],
}


test_a_wrong_answer_is_told_what_is_wrong = refused(check, WRONG)
