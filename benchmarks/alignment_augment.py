"""Variation of two views on tensors against Pillow frame by frame.

    python benchmarks/alignment_augment.py              about two minutes; --repeats 3; --json FILE adds a line

Two views of 240 frames, 320x240 pixels, to 224x224: crop, mirror, brightness, contrast, saturation and hue in 8 bits, then
normalised float32; without blur, and with one. Same draws on both sides; results must agree but for what Pillow's rounding of
resized values, and of hues, makes of some. On a CPU both run on one thread, on a GPU (--device cuda) ours does there and frames
are moved to it in the time that is counted.
"""

import argparse
import statistics
import time

from measure import Case, measure, write_line

VIEWS, FRAMES, WIDTH, HEIGHT = 2, 240, 320, 240
BLURS = (0.0, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="rounds, each measures everything once")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--json", metavar="FILE", help="append the numbers as one JSON line")
    given = parser.parse_args()
    for blur in BLURS:
        arguments = {"blur": blur, "repeats": given.repeats, "device": given.device}
        times = measure(Case(f"augment, blur {blur:g}", both_ways, arguments, imports)).value
        ratios = [b / a for a, b in zip(times["tensors"], times["pillow"], strict=True)]
        frames = VIEWS * FRAMES
        ours, theirs = (1000 * statistics.median(times[name]) / frames for name in ("tensors", "pillow"))
        print(
            f"{'one blur' if blur else 'no blur':<8} {given.device}: tensors {ours:.2f} ms a frame, Pillow {theirs:.2f} ms, ratio"
            f" {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} rounds)"
        )
        write_line(given.json, {"benchmark": "alignment_augment", "blur": blur, "ratios": ratios} | arguments | times)


def imports() -> None:
    from PIL import Image, ImageEnhance, ImageFilter  # noqa: F401

    import kinoflow.tasks.alignment.augment  # noqa: F401


def both_ways(blur: float, repeats: int, device: str) -> dict[str, list[float]]:
    """Return seconds of both ways, one for each round: of the processor, and of the clock on a GPU."""
    import numpy as np
    import torch
    from PIL import Image

    from kinoflow.tasks.alignment.augment import Variation, apply
    from kinoflow.tasks.alignment.options import VaryOptions

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 256, (FRAMES, 12, 16, 3), np.uint8)
    frames = np.stack(
        [np.asarray(Image.fromarray(f).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) for f in smooth]
    )
    changes = (("saturation", 1.3), ("brightness", 0.8), ("hue", 0.12), ("contrast", 1.2))
    draws = [Variation((10, 20, 216, 290), i == 0, changes, (blur,) if blur else ()) for i in range(VIEWS)]
    options = VaryOptions(size=224)

    def tensors() -> list[torch.Tensor]:
        return [apply(torch.from_numpy(frames).to(device), draw, options) for draw in draws]

    def pillow() -> list[torch.Tensor]:
        return [torch.stack([by_pillow(frame, draw, options) for frame in frames]) for draw in draws]

    def timed(way):
        clock = time.process_time if device == "cpu" else time.perf_counter
        start = clock()
        found = way()
        if device != "cpu":
            torch.cuda.synchronize()
        return found, clock() - start

    ways = {"tensors": tensors, "pillow": pillow}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats + 1):  # the first round warms up
        found = []
        for name, way in ways.items():
            result, seconds = timed(way)
            found.append(result)
            times[name].append(seconds)
        apart = (found[0][0].cpu() - found[1][0]).abs() * 0.226 * 255
        assert apart.mean() < 3, f"the two ways differ by {apart.mean():.1f} levels in the mean"
    return {name: values[1:] for name, values in times.items()}


def by_pillow(frame, draw, options):
    """Vary one frame as torchvision does on pictures of Pillow."""
    import numpy as np
    import torch
    from PIL import Image, ImageEnhance, ImageFilter

    top, left, height, width = draw.box
    picture = Image.fromarray(frame).crop((left, top, left + width, top + height))
    picture = picture.resize((options.size, options.size), Image.Resampling.BILINEAR)
    if draw.mirrored:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    tools = {"brightness": ImageEnhance.Brightness, "contrast": ImageEnhance.Contrast, "saturation": ImageEnhance.Color}
    for name, amount in draw.changes:
        if name == "hue":
            h, s, v = picture.convert("HSV").split()
            turned = np.asarray(h) + np.uint8(int(255 * amount) % 256)
            picture = Image.merge("HSV", (Image.fromarray(turned), s, v)).convert("RGB")
        else:
            picture = tools[name](picture).enhance(amount)
    for deviation in draw.blurs:
        picture = picture.filter(ImageFilter.GaussianBlur(deviation))
    x = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float().div_(255)
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return x.sub_(mean).div_(deviation)


if __name__ == "__main__":
    main()
