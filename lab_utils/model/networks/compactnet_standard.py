"""CompactNet's twin with standard convolutions, to measure what the separable ones save."""

from lab_utils.model.networks.compactnet import CompactNet


class CompactNetStandard(CompactNet):
    """``CompactNet`` with a standard convolution in place of each separable one."""

    def __init__(self, num_classes: int = 10):
        super().__init__(num_classes, separable=False)
