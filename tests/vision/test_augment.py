"""What augmentation does to a batch of pictures: drawn from seeds, inside [0, 1], the same alone and in a batch."""

import math
import pickle
from dataclasses import replace

import pytest
import torch

from blurr.loading.draws import Stream, inside_box, uniform
from blurr.loading.rows import IGNORED
from blurr.vision import augment
from blurr.vision.augment import GEOMETRIC, OF_VALUES, light, standard, trivial

MADE = {
    "light": light(),
    "standard": standard(flip=True, erase=0.5),
    "trivial": trivial(),
    "trivial, mirrored": trivial(flip=True),
}
OFF = {
    "light": light(max_rotate=0.0, max_zoom=1.0, max_shift=0.0, max_lighting=0.0),
    "standard": standard(max_rotate=0.0, max_zoom=1.0, max_shift=0.0, max_lighting=0.0, erase=0.0),
    "trivial": trivial(strength=0.0),
}


def batch(rows: int = 40, height: int = 20, width: int = 28) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    pixels = torch.rand(rows, 3, height, width, generator=generator)
    masks = torch.randint(0, 5, (rows, height, width), generator=generator)
    return pixels, torch.randint(0, 2**62, (rows,), generator=generator), masks


@pytest.mark.parametrize("change", MADE.values(), ids=MADE)
def test_changed_pictures_stay_pictures_and_depend_on_their_seeds_alone(change):
    pixels, seeds, masks = batch()
    before = pixels.clone(), masks.clone()
    made, moved = change(pixels, seeds, masks)
    assert made.shape == pixels.shape
    assert made.dtype == pixels.dtype
    assert moved.dtype == masks.dtype
    assert made.min() >= 0
    assert made.max() <= 1
    assert not torch.equal(made, pixels)
    assert not torch.equal(moved, masks)
    assert set(moved.unique().tolist()) <= {IGNORED, 0, 1, 2, 3, 4}
    assert torch.equal(pixels, before[0])
    assert torch.equal(masks, before[1])
    again = change(pixels, seeds, masks)
    assert torch.equal(made, again[0])
    assert torch.equal(moved, again[1])
    alone = [change(*(part[i : i + 1] for part in (pixels, seeds, masks))) for i in range(len(seeds))]
    torch.testing.assert_close(torch.cat([one for one, _ in alone]), made, atol=1e-6, rtol=0)
    assert torch.equal(torch.cat([one for _, one in alone]), moved)
    order = torch.arange(len(seeds)).flip(0)
    torch.testing.assert_close(change(pixels[order], seeds[order])[0], made[order], atol=1e-6, rtol=0)
    assert not torch.equal(change(pixels, seeds + 1)[0], made)
    assert change(pixels, seeds)[1] is None
    assert pickle.loads(pickle.dumps(change)) == change


@pytest.mark.parametrize("change", OFF.values(), ids=OFF)
def test_without_strength_a_picture_stays_as_it_is_bit_for_bit(change):
    pixels, seeds, masks = batch()
    made, moved = change(pixels, seeds, masks)
    assert torch.equal(made, pixels)
    assert torch.equal(moved, masks)


@pytest.mark.parametrize("change", [replace(OFF["standard"], flip=True), trivial(strength=0.0, flip=True)], ids=str)
def test_flip_alone_mirrors_half_of_the_pictures_and_their_masks(change):
    pixels, seeds, masks = batch(rows=200)
    made, moved = change(pixels, seeds, masks)
    mirrored = (moved == masks.flip(-1)).all((1, 2))
    assert 70 < mirrored.sum() < 130
    torch.testing.assert_close(made[mirrored], pixels[mirrored].flip(-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(made[~mirrored], pixels[~mirrored], atol=1e-5, rtol=0)


def test_no_option_mirrors_unless_it_is_asked_to():
    """A picture that is dark on the left and bright on the right stays so, however it is changed."""
    pixels = torch.cat([torch.zeros(300, 3, 16, 8), torch.ones(300, 3, 16, 8)], dim=3) * 0.6 + 0.2
    seeds = torch.arange(300) * 12345
    for change in (light(), standard()):
        made, _ = change(pixels, seeds)
        assert (made[..., :4].mean((1, 2, 3)) < made[..., -4:].mean((1, 2, 3))).all()
        assert "not mirrored; augment.flip=true" in str(change)
        assert "half of the pictures are mirrored" in str(replace(change, flip=True))


def test_a_turn_is_a_turn_in_pictures_that_are_not_square():
    pixels = torch.zeros(1, 1, 21, 41)
    pixels[..., 10, 20:29] = 1.0  # a line from the middle to the right
    places = augment.Places(
        angle=torch.tensor([math.pi / 2]),
        zoom=torch.ones(1),
        shift=torch.zeros(1, 2),
        mirror=torch.ones(1),
        shear=torch.zeros(1, 2),
    )
    turned, masks = augment.moved(pixels, (pixels[:, 0] > 0).long(), places)
    column = turned[0, 0, :, 20]
    assert column.sum() == pytest.approx(9, abs=0.1)
    assert turned.sum() == pytest.approx(9, abs=0.1)
    assert masks is not None
    assert (masks == IGNORED).float().mean() > 0.4


def test_a_mask_is_ignored_where_the_picture_mirrors_its_border():
    pixels, seeds, masks = batch()
    _, moved = standard(max_rotate=0.0, max_zoom=1.0, max_shift=0.5, max_lighting=0.0, erase=0.0)(pixels, seeds, masks)
    share = (moved == IGNORED).float().mean((1, 2))
    assert share.max() > 0.4
    assert not (masks == IGNORED).any()


def test_lighting_and_erasing_leave_masks_alone():
    pixels, seeds, masks = batch()
    change = standard(max_rotate=0.0, max_zoom=1.0, max_shift=0.0, max_lighting=0.5, erase=1.0)
    made, moved = change(pixels, seeds, masks)
    assert torch.equal(moved, masks)
    assert not torch.equal(made, pixels)


def test_an_erased_box_has_the_mean_colour_and_the_share_of_pictures_is_right():
    pixels, seeds, _ = batch(rows=400)
    made, _ = replace(OFF["standard"], erase=0.25)(pixels, seeds)
    changed = (made != pixels).any(1)
    assert 0.18 < changed.any((1, 2)).float().mean() < 0.32
    for i in changed.any((1, 2)).nonzero()[:, 0].tolist():
        rows, columns = changed[i].nonzero().T
        box = made[i, :, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        torch.testing.assert_close(box, pixels[i].mean((1, 2))[:, None, None].expand_as(box))


@pytest.mark.parametrize("operation", OF_VALUES, ids=lambda each: each.__name__)
def test_an_operation_of_values_keeps_the_picture_at_strength_0_unless_it_has_none(operation):
    pixels, _, _ = batch(rows=4)
    pixels = ((0.2 + 0.6 * pixels**2) * 255).round() / 255  # as no operation of contrast would leave it
    amounts = torch.zeros(4, 1, 1, 1)
    if operation.__name__ not in ("_autocontrast", "_equalize"):
        torch.testing.assert_close(operation(pixels, amounts), pixels, atol=1e-6, rtol=0)
    assert not torch.allclose(operation(pixels, amounts + 0.9), pixels, atol=1e-2)


def test_trivial_takes_every_operation_about_as_often():
    drawn = uniform(torch.arange(14_000), 4, Stream.AUGMENT)[:, 0]
    counts = torch.bincount((drawn * (len(GEOMETRIC) + len(OF_VALUES))).long())
    assert len(counts) == 14
    assert counts.min() > 850
    assert counts.max() < 1150


@pytest.mark.parametrize("change", [standard(), trivial()], ids=["standard", "trivial"])
def test_pictures_of_one_channel_can_be_changed(change):
    pixels = torch.rand(60, 1, 8, 8)
    assert change(pixels, torch.arange(60))[0].shape == pixels.shape


def test_draws_are_uniform_and_differ_by_row_number_and_stream():
    seeds = torch.arange(20_000)
    drawn = uniform(seeds, 3, Stream.AUGMENT)
    assert drawn.dtype == torch.float32
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert torch.allclose(drawn.mean(0), torch.tensor(0.5), atol=0.01)
    assert torch.allclose(drawn.var(0), torch.tensor(1 / 12), atol=0.002)
    assert torch.corrcoef(drawn.T).triu(1).abs().max() < 0.03
    assert abs(float(torch.corrcoef(torch.stack([drawn[1:, 0], drawn[:-1, 0]]))[0, 1])) < 0.03
    other = uniform(seeds, 3, Stream.MIX)
    assert abs(float(torch.corrcoef(torch.stack([drawn[:, 0], other[:, 0]]))[0, 1])) < 0.03
    assert torch.equal(uniform(seeds, 2, Stream.MIX), other[:, :2])  # whatever else is drawn


def test_draws_are_those_of_splitmix():
    """Computed by the definition, in whole numbers of Python."""

    def mixed(number: int) -> int:
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            number = (number ^ number >> shift) * factor % 2**64
        return number ^ number >> 31

    golden = 0x9E3779B97F4A7C15
    for seed in (0, 1, 2**62 + 12345):
        start = mixed(seed ^ golden)
        expected = [(mixed((start + (i + 1) * golden) % 2**64) >> 40) / 2**24 for i in range(4)]
        assert uniform(torch.tensor([seed]), 4, Stream.AUGMENT)[0].tolist() == expected


def test_a_box_holds_the_positions_between_its_shares():
    box = inside_box((4, 6), torch.tensor([[0.25, 0.5]]), torch.tensor([[0.75, 1.0]]))
    expected = torch.zeros(1, 4, 6, dtype=torch.bool)
    expected[0, 1:3, 3:6] = True
    assert torch.equal(box, expected)
    assert inside_box((8,), torch.tensor([[0.5], [0.0]]), torch.tensor([[1.0], [0.25]])).sum(1).tolist() == [4, 2]
