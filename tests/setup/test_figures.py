"""The figures of notebook 01."""

import torch

from lab_utils.setup import figures


def test_the_channels_stand_beside_the_picture_in_grey():
    picture = torch.arange(3 * 4 * 5, dtype=torch.uint8).view(3, 4, 5)
    drawing = figures.channels(picture)
    shown = [image.get_array() for image in drawing.figure.axes[0].images]
    assert (shown[0] == picture.permute(1, 2, 0).numpy()).all()
    for plane, grey in zip(picture.numpy(), shown[1:], strict=True):
        assert (grey == plane[..., None]).all()
    assert "0 to 19, 20 to 39, 40 to 59" in drawing.alt
    assert drawing.caption.startswith("A picture of 5 by 4 pixels")
    assert drawing.file == "figures/channels.png"


def test_the_descents_are_drawn_by_step_and_told_by_their_ends():
    drawing = figures.descent([4.0, 2.0, 0.5], [4.0, 1.0, 3.0])
    forgotten, cleared = (line.get_ydata().tolist() for line in drawing.figure.axes[0].lines)
    assert (cleared, forgotten) == ([4.0, 2.0, 0.5], [4.0, 1.0, 3.0])
    assert "over 3 steps" in drawing.caption
    assert "ends at 0.5; without, it goes up and down and ends at 3" in drawing.alt
    assert drawing.file == "figures/descent.svg"
