"""Every float export of a model in a line; notebook 06 writes out how each is made."""

import torch

from lab_utils.deployment import export


def export_all(model, about, folder):
    """``model`` in every float format, in ``folder``; the files by format."""
    example = torch.rand(2, 3, about.image_size, about.image_size)
    program = export.capture(model, example)
    onnx = torch.onnx.export(
        program, dynamo=True, dynamic_shapes=export.BATCH, verbose=False,
        input_names=["pixels"], output_names=["logits"],
    )  # fmt: skip
    script = export.trace(model, example)
    converted = export.Converted(model.state_dict(), script, program, onnx)
    return export.write(converted, about, folder)
