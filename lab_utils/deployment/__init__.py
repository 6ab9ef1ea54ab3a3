"""Notebook 06: the trained model as files, an engine that runs them, and the model card."""

# Here, so that whoever writes about the files need not load PyTorch as whoever opens them.
CHECKPOINT, WEIGHTS, SCRIPT, PROGRAM = "checkpoint", "safetensors", "TorchScript", "torch.export"
ONNX, INT8 = "ONNX", "int8 ONNX"
FILES = {  # in a run's exports/
    WEIGHTS: "model.safetensors", SCRIPT: "torchscript.pt", PROGRAM: "model.pt2",
    ONNX: "model.onnx", INT8: "model_int8.onnx",
}  # fmt: skip
NEEDS = {
    WEIGHTS: "PyTorch and the model's code",
    SCRIPT: "PyTorch; deprecated",
    PROGRAM: "PyTorch",
    ONNX: "ONNX Runtime or another engine; no PyTorch",
    INT8: "ONNX Runtime; no PyTorch",
}
PRECISION = 0.95  # of the answers that the engine calls sure, how many should be right
