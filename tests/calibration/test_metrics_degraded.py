"""Every metric against another implementation, on photographs with noise, blur, JPEG's blocks and in the dark.

The bounds are those of the project: 0.005 dB, and 1e-4 for what has no unit. Metrics with published parameters run on
random ones: then it is the path from image to number that is compared, not what anybody published.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyiqa
import pytest
import torch
from pyiqa.archs import brisque_arch, niqe_arch
from scipy.io import savemat
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import mean_absolute_error

from harness.api.protocols import (
    DPDD,
    REALBLUR_ALIGNED,
    RETINEXFORMER_LOL,
    RGB_FLOAT,
    RGB_UINT8,
    RGB_UINT8_SSIM3D,
    Y_FLOAT,
    Y_MATLAB,
)
from harness.parts.metrics import brisque, lpips, niqe
from harness.parts.metrics.mae import MAE
from harness.parts.metrics.psnr import PSNR
from harness.parts.metrics.ssim import SSIM
from tests.calibration.test_metrics import conv3d_ssim, skimage_ssim, tensor
from tests.degraded_photos import DEGRADATIONS, degraded, photographs
from tests.iqa_files import brisque_file, machine, niqe_file, random_vgg16, vgg_linear_file

DB, NUMBER = 0.005, 1e-4


@pytest.fixture(scope="module")
def photos() -> dict[str, np.ndarray]:
    return photographs()


@pytest.fixture(params=DEGRADATIONS)
def pairs(request, photos) -> list[tuple[np.ndarray, np.ndarray]]:
    """(restored, truth) of every photograph."""
    return [(degraded(truth, request.param), truth) for truth in photos.values()]


def test_psnr(pairs) -> None:
    for restored, truth in pairs:
        ours = PSNR(RGB_UINT8)(restored, truth)
        assert ours == pytest.approx(peak_signal_noise_ratio(truth, restored, data_range=255), abs=1e-9)
        assert ours == pytest.approx(pyiqa.create_metric("psnr")(tensor(restored), tensor(truth)).item(), abs=DB)


def test_psnr_y(pairs) -> None:
    """MATLAB's rgb2ycbcr of 8-bit images, which rounds; and the luma of BasicSR, which does not."""
    weights = np.array([65.481, 128.553, 24.966])
    for restored, truth in pairs:
        lumas = [16 + (image / 255) @ weights for image in (restored, truth)]
        exact = 10 * math.log10(255**2 / np.mean((lumas[0] - lumas[1]) ** 2))
        rounded = 10 * math.log10(255**2 / np.mean((np.round(lumas[0]) - np.round(lumas[1])) ** 2))
        assert PSNR(Y_FLOAT)(restored, truth) == pytest.approx(exact, abs=1e-9)
        assert PSNR(Y_MATLAB)(restored, truth) == pytest.approx(rounded, abs=NUMBER)  # halves round either way


def test_ssim(pairs) -> None:
    """pyiqa clips the contrast term at zero, which only a few pixels of noise reach."""
    for restored, truth in pairs:
        ours = SSIM(RGB_UINT8)(restored, truth)
        assert ours == pytest.approx(skimage_ssim(restored, truth), abs=1e-9)
        clipped = pyiqa.create_metric("ssimc")(tensor(restored), tensor(truth)).item()
        assert -NUMBER <= clipped - ours <= 2e-3
        corner = np.s_[:48, :40]  # the definition takes its time
        volume = conv3d_ssim(restored[corner] / 255, truth[corner] / 255)
        assert SSIM(RGB_UINT8_SSIM3D)(restored[corner], truth[corner]) == pytest.approx(volume, abs=1e-9)
        usual = structural_similarity(restored, truth, data_range=255, channel_axis=2)
        assert SSIM(DPDD)(restored, truth) == pytest.approx(usual, abs=1e-9)


def test_ssim_of_8_bits_under_a_protocol_that_rounds_nothing_else(pairs) -> None:
    for restored, truth in pairs:
        restored = np.clip(restored + 0.3, 0, 255)
        ours = SSIM(RETINEXFORMER_LOL)(restored, truth)
        assert ours == pytest.approx(skimage_ssim(np.rint(restored), truth), abs=1e-9)
        assert ours != SSIM(RGB_FLOAT)(restored, truth)


def test_mae(pairs) -> None:
    for restored, truth in pairs:
        planes = [mean_absolute_error(restored[..., c] / 255, truth[..., c] / 255) for c in range(3)]
        assert MAE(RGB_FLOAT)(restored, truth) == pytest.approx(np.mean(planes), abs=1e-12)


def test_masked_scores_are_those_of_realblurs_script(pairs) -> None:
    """scikit-image's map times the mask, its sum over that of the mask, both without five pixels at every side."""
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    for restored, truth in pairs:
        mask = np.ones(truth.shape[:2])
        mask[:17], mask[:, -9:] = 0, 0
        kept = mask[..., None]
        one, other = restored / 255 * kept, truth / 255 * kept
        error = np.sum((one - other) ** 2) / (3 * mask.sum())
        _, found = structural_similarity(other, one, channel_axis=2, full=True, **options)
        inner = np.s_[5:-5, 5:-5]
        expected = ((found * kept)[inner].sum((0, 1)) / mask[inner].sum()).mean()
        given = restored * kept, truth * kept, mask
        assert PSNR(REALBLUR_ALIGNED)(*given) == pytest.approx(10 * math.log10(1 / error), abs=1e-9)
        assert SSIM(REALBLUR_ALIGNED)(*given) == pytest.approx(expected, abs=1e-9)
        plain = np.abs(one - other).sum() / (3 * mask.sum())
        assert MAE(REALBLUR_ALIGNED)(*given) == pytest.approx(plain, abs=1e-12)


def test_niqe_is_pyiqas(pairs, tmp_path: Path, monkeypatch) -> None:
    file = niqe_file(tmp_path)
    monkeypatch.setattr(niqe, "ready_files", lambda *part: (file,))
    stored, mat = np.load(file), tmp_path / "niqe.mat"
    savemat(mat, {"mu_prisparam": stored["mu_pris_param"], "cov_prisparam": stored["cov_pris_param"]})
    theirs = niqe_arch.NIQE(pretrained_model_path=str(mat))
    for restored, _ in pairs:
        assert niqe.NIQE(RGB_UINT8)(restored) == pytest.approx(theirs(tensor(restored).float()).item(), abs=NUMBER)


def test_brisque_is_pyiqas(pairs, tmp_path: Path, monkeypatch) -> None:
    file = brisque_file(tmp_path)
    monkeypatch.setattr(brisque, "ready_files", lambda *part: (file,))
    coefficients, vectors = (torch.from_numpy(array).float() for array in machine())
    vectors[3, 7] = 0.0
    torch.save((coefficients, vectors), tmp_path / "svm.pth")
    theirs = brisque_arch.BRISQUE(pretrained_model_path=str(tmp_path / "svm.pth"))
    for restored, _ in pairs:
        assert brisque.BRISQUE(RGB_UINT8)(restored) == pytest.approx(
            theirs(tensor(restored).float()).item(), abs=NUMBER
        )


def test_lpips_on_vgg_is_the_papers_definition(photos, tmp_path: Path, monkeypatch) -> None:
    """Unit-normalised features after five stages of VGG16, squared differences, 1×1 weights, means, sum."""
    from pyiqa.archs import lpips_arch

    file = vgg_linear_file(tmp_path)
    monkeypatch.setattr(lpips, "ready_files", lambda *part: (Path(), file))
    monkeypatch.setattr(lpips_arch.models, "vgg16", random_vgg16)
    truth = photos["coffee"][:64, :72]
    restored = degraded(truth, "jpeg")
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    maps = []
    with torch.no_grad():
        for image in (restored, truth):
            x = ((torch.tensor(image / 127.5 - 1).float() - shift) / scale).permute(2, 0, 1)[None]
            found = []
            for index, layer in enumerate(random_vgg16().features.children()):
                x = layer(x)
                if index in (3, 8, 15, 22, 29):
                    found.append(x / (x.norm(dim=1, keepdim=True) + 1e-10))
            maps.append(found)
    linear = list(torch.load(file).values())
    expected = sum(((a - b) ** 2 * w).sum(1).mean().item() for a, b, w in zip(*maps, linear, strict=True))
    ours = lpips.LPIPS(RGB_UINT8, net="vgg")(restored, truth)
    assert ours == pytest.approx(expected, rel=1e-4)
    assert ours > 0
