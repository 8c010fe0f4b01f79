"""Every built-in part: one line each. Nothing is imported until a part is used."""

from __future__ import annotations

from harness.core.registry import Entry, Registry

BUILT_IN = (
    Entry(
        "dataset",
        "photos",
        "harness.parts.datasets.photos:Photos",
        "photographs that ship with scikit-image and scikit-learn",
    ),
    Entry("dataset", "folder", "harness.parts.datasets.folder:Folder", "your own pictures: clean ones or pairs"),
    Entry("dataset", "lol_v1", "harness.parts.datasets.lol_v1:LOLv1", "LOL-v1: 500 pairs of low and normal light"),
    Entry(
        "dataset", "lol_v2_real", "harness.parts.datasets.lol_v2_real:LOLv2Real", "LOL-v2-real: 789 pairs of one scene"
    ),
    Entry("dataset", "lol_v2_syn", "harness.parts.datasets.lol_v2_syn:LOLv2Syn", "LOL-v2-syn: 1,000 darkened pairs"),
    Entry("dataset", "sid", "harness.parts.datasets.sid:SID", "SID, Sony, sRGB: 2,697 short exposures of 231 scenes"),
    Entry("dataset", "smid", "harness.parts.datasets.smid:SMID", "SMID, sRGB: 20,809 short exposures of 202 scenes"),
    Entry(
        "dataset",
        "sdsd_indoor",
        "harness.parts.datasets.sdsd_indoor:SDSDIndoor",
        "SDSD-indoor, static: 68 scenes in low and normal light",
    ),
    Entry(
        "dataset",
        "sdsd_outdoor",
        "harness.parts.datasets.sdsd_outdoor:SDSDOutdoor",
        "SDSD-outdoor, static: 126 scenes in low and normal light",
    ),
    Entry("dataset", "gopro", "harness.parts.datasets.gopro:GoPro", "GoPro: 3,214 pairs of blurred and sharp frames"),
    Entry("dataset", "hide", "harness.parts.datasets.hide:HIDE", "HIDE: 2,025 test pairs of people in motion"),
    Entry(
        "dataset", "realblur_j", "harness.parts.datasets.realblur_j:RealBlurJ", "RealBlur-J: 4,738 pairs of real shake"
    ),
    Entry(
        "dataset",
        "realblur_r",
        "harness.parts.datasets.realblur_r:RealBlurR",
        "RealBlur-R: 4,738 pairs, from raw files",
    ),
    Entry("dataset", "ebdb", "harness.parts.datasets.ebdb:EBDB", "EBDB: defocused photographs, without reference"),
    Entry("dataset", "jnb", "harness.parts.datasets.jnb:JNB", "JNB: defocused photographs, without reference"),
    Entry("dataset", "rain13k", "harness.parts.datasets.rain13k:Rain13K", "13,712 training pairs of synthetic rain"),
    Entry("dataset", "rain100h", "harness.parts.datasets.rain100h:Rain100H", "100 test pairs of heavy synthetic rain"),
    Entry("dataset", "rain100l", "harness.parts.datasets.rain100l:Rain100L", "100 test pairs of light synthetic rain"),
    Entry("dataset", "test100", "harness.parts.datasets.test100:Test100", "100 test pairs of Rain800"),
    Entry("dataset", "test1200", "harness.parts.datasets.test1200:Test1200", "1,200 test pairs of DID-MDN"),
    Entry("dataset", "test2800", "harness.parts.datasets.test2800:Test2800", "2,800 test pairs of Rain14000"),
    Entry("dataset", "dpdd", "harness.parts.datasets.dpdd:DPDD", "500 defocused scenes, read in 8 bits"),
    Entry(
        "dataset",
        "dpdd_dual",
        "harness.parts.datasets.dpdd_dual:DPDDDual",
        "500 defocused scenes, two views of 16 bits",
    ),
    Entry("dataset", "sidd", "harness.parts.datasets.sidd:SIDD", "smartphone noise: 320 pairs, 1,280 blocks"),
    Entry("dataset", "div2k", "harness.parts.datasets.div2k:DIV2K", "800 clean photographs of 2K resolution"),
    Entry(
        "dataset",
        "flickr2k",
        "harness.parts.datasets.flickr2k:Flickr2K",
        "2,650 clean photographs of 2K resolution",
    ),
    Entry("dataset", "wed", "harness.parts.datasets.wed:WED", "4,744 clean photographs"),
    Entry("dataset", "bsd400", "harness.parts.datasets.bsd400:BSD400", "400 clean photographs of BSD500"),
    Entry("dataset", "dfwb", "harness.parts.datasets.dfwb:DFWB", "DIV2K, Flickr2K, WED and BSD400 together"),
    Entry("dataset", "set12", "harness.parts.datasets.set12:Set12", "12 gray images"),
    Entry("dataset", "bsd68", "harness.parts.datasets.bsd68:BSD68", "68 gray photographs of BSD500"),
    Entry("dataset", "cbsd68", "harness.parts.datasets.cbsd68:CBSD68", "68 colour photographs of BSD500"),
    Entry("dataset", "kodak24", "harness.parts.datasets.kodak24:Kodak24", "24 colour photographs of Kodak"),
    Entry("dataset", "mcmaster", "harness.parts.datasets.mcmaster:McMaster", "18 colour images"),
    Entry("dataset", "urban100", "harness.parts.datasets.urban100:Urban100", "100 photographs of buildings"),
    Entry("dataset", "urban100_gray", "harness.parts.datasets.urban100_gray:Urban100Gray", "Urban100 read in gray"),
    Entry(
        "degradation",
        "low_light",
        "harness.parts.degradations.low_light:LowLight",
        "short exposure with shot and read noise",
    ),
    Entry(
        "degradation",
        "gaussian_noise",
        "harness.parts.degradations.gaussian_noise:GaussianNoise",
        "additive white Gaussian noise",
    ),
    Entry("degradation", "rain", "harness.parts.degradations.rain:Rain", "rain streaks"),
    Entry("degradation", "motion_blur", "harness.parts.degradations.motion_blur:MotionBlur", "camera shake"),
    Entry("task", "low_light", "harness.parts.tasks.low_light:LowLight", "brighten a dark, noisy photograph"),
    Entry(
        "task",
        "gaussian_denoise",
        "harness.parts.tasks.gaussian_denoise:GaussianDenoise",
        "remove white Gaussian noise",
    ),
    Entry("task", "derain", "harness.parts.tasks.derain:Derain", "remove rain streaks"),
    Entry("task", "motion_blur", "harness.parts.tasks.motion_blur:MotionBlur", "remove camera shake"),
    Entry("task", "real_denoise", "harness.parts.tasks.real_denoise:RealDenoise", "remove a camera's own noise"),
    Entry("task", "defocus", "harness.parts.tasks.defocus:Defocus", "sharpen what is out of focus"),
    Entry("prior", "nss", "harness.parts.priors.nss:NaturalSceneStatistics", "36 natural-scene statistics (BRISQUE)"),
    Entry(
        "prior",
        "restoration",
        "harness.parts.priors.restoration:Restoration",
        "features of a restoration network trained on another task",
    ),
    Entry("prior", "clip", "harness.parts.priors.clip:Clip", "CLIP image embedding (open_clip)"),
    Entry("prior", "random", "harness.parts.priors.controls:RandomVectors", "control: a random unit vector per image"),
    Entry("prior", "shuffled", "harness.parts.priors.controls:Shuffled", "control: another image's vector"),
    Entry(
        "prior", "mean", "harness.parts.priors.controls:Mean", "control: the train split's mean vector for every image"
    ),
    Entry("backbone", "drunet", "harness.parts.backbones.drunet:DRUNet", "DRUNet (TPAMI 2021), from spandrel"),
    Entry("backbone", "enlightengan", "harness.parts.backbones.enlightengan:EnlightenGAN", "EnlightenGAN (TIP 2021)"),
    Entry("backbone", "grl", "harness.parts.backbones.grl:GRL", "GRL (CVPR 2023), from spandrel"),
    Entry("backbone", "ifan", "harness.parts.backbones.ifan:IFAN", "IFAN (CVPR 2021), defocus"),
    Entry("backbone", "llformer", "harness.parts.backbones.llformer:LLFormer", "LLFormer (AAAI 2023), low light"),
    Entry("backbone", "mirnet_v2", "harness.parts.backbones.mirnet_v2:MIRNetV2", "MIRNet-v2 (TPAMI 2022)"),
    Entry("backbone", "mprnet", "harness.parts.backbones.mprnet:MPRNet", "MPRNet (CVPR 2021), three stages"),
    Entry("backbone", "nafnet", "harness.parts.backbones.nafnet:NAFNet", "NAFNet (ECCV 2022), from spandrel"),
    Entry("backbone", "promptir", "harness.parts.backbones.promptir:PromptIR", "PromptIR (NeurIPS 2023), all in one"),
    Entry("backbone", "restormer", "harness.parts.backbones.restormer:Restormer", "Restormer (CVPR 2022)"),
    Entry(
        "backbone",
        "retinexformer",
        "harness.parts.backbones.retinexformer:Retinexformer",
        "Retinexformer (ICCV 2023), low light, from spandrel",
    ),
    Entry("backbone", "ruas", "harness.parts.backbones.ruas:RUAS", "RUAS (CVPR 2021), low light"),
    Entry("backbone", "sci", "harness.parts.backbones.sci:SCI", "SCI (CVPR 2022), low light"),
    Entry(
        "backbone",
        "smg_appearance",
        "harness.parts.backbones.smg_appearance:SMGAppearance",
        "SMG's appearance network (CVPR 2023), low light",
    ),
    Entry("backbone", "snr_net", "harness.parts.backbones.snr_net:SNRNet", "SNR-Net (CVPR 2022), low light"),
    Entry("backbone", "spair", "harness.parts.backbones.spair:SPAIR", "SPAIR (ICCV 2021), reimplemented"),
    Entry("backbone", "uformer", "harness.parts.backbones.uformer:Uformer", "Uformer (CVPR 2022), from spandrel"),
    Entry("backbone", "uretinex", "harness.parts.backbones.uretinex:URetinex", "URetinex-Net (CVPR 2022), low light"),
    Entry("backbone", "zero_dce", "harness.parts.backbones.zero_dce:ZeroDCE", "Zero-DCE (CVPR 2020), low light"),
    Entry(
        "refiner",
        "ptg_rm",
        "harness.parts.refiners.ptg_rm.refiner:PTGRM",
        "pre-train-guided refinement module (CVPR 2024)",
    ),
    Entry("refiner", "skf", "harness.parts.refiners.skf.refiner:SKF", "semantic-aware knowledge guidance (CVPR 2023)"),
    Entry(
        "refiner", "smg", "harness.parts.refiners.smg.refiner:SMG", "structure-guided enhancement by edges (CVPR 2023)"
    ),
    Entry(
        "refiner", "smg_depth", "harness.parts.refiners.smg.refiner:SMGDepth", "structure-guided enhancement by depth"
    ),
    Entry("loss", "charbonnier", "harness.parts.losses.charbonnier:Charbonnier", "sqrt(difference² + eps²)"),
    Entry("loss", "edge", "harness.parts.losses.edge:Edge", "sqrt(Laplacian of the difference² + eps²), MPRNet"),
    Entry(
        "loss",
        "enlightengan",
        "harness.parts.losses.enlightengan:EnlightenGANLoss",
        "EnlightenGAN's adversaries, unpaired",
    ),
    Entry("loss", "l1", "harness.parts.losses.absolute:L1", "|difference|"),
    Entry("loss", "perceptual", "harness.parts.losses.perceptual:Perceptual", "L1 distance of VGG-19 features"),
    Entry(
        "loss",
        "skf_histogram",
        "harness.parts.losses.skf_histogram:SKFHistogram",
        "colour histograms class by class; with the refiner skf",
    ),
    Entry(
        "loss",
        "skf_adversarial",
        "harness.parts.losses.skf_adversarial:SKFAdversarial",
        "adversary on images and their classes' regions; with the refiner skf",
    ),
    Entry("loss", "psnr_loss", "harness.parts.losses.psnr:PSNRLoss", "minus the peak signal-to-noise ratio, NAFNet"),
    Entry("loss", "ruas", "harness.parts.losses.ruas:RUASLoss", "RUAS's, without truth"),
    Entry("loss", "sci", "harness.parts.losses.sci:SCILoss", "SCI's, without truth"),
    Entry(
        "loss",
        "self_feature",
        "harness.parts.losses.self_feature:SelfFeature",
        "EnlightenGAN's distance of VGG-16 features to the input",
    ),
    Entry("loss", "smooth_l1", "harness.parts.losses.absolute:SmoothL1", "|difference|, squared where small"),
    Entry(
        "loss", "spair_mask", "harness.parts.losses.spair:SpairMask", "cross-entropy of SPAIR's mask of degraded pixels"
    ),
    Entry("loss", "ssim_loss", "harness.parts.losses.ssim:SSIMLoss", "minus the structural similarity"),
    Entry("loss", "tv", "harness.parts.losses.tv:TV", "total variation of the restored image"),
    Entry("loss", "uretinex_adjustment", "harness.parts.losses.uretinex:Adjustment", "URetinex-Net's third stage"),
    Entry(
        "loss", "uretinex_decomposition", "harness.parts.losses.uretinex:Decomposition", "URetinex-Net's first stage"
    ),
    Entry(
        "loss", "uretinex_features", "harness.parts.losses.uretinex:Features", "VGG-19 in URetinex-Net's second stage"
    ),
    Entry("loss", "uretinex_unfolding", "harness.parts.losses.uretinex:Unfolding", "URetinex-Net's second stage"),
    Entry("loss", "zero_dce", "harness.parts.losses.zero_dce:ZeroDCELoss", "Zero-DCE's, without truth"),
    Entry("loss", "lpips", "harness.parts.losses.lpips:LPIPS", "learned perceptual distance (AlexNet), through pyiqa"),
    Entry("loss", "mse", "harness.parts.losses.mse:MSE", "difference²"),
    Entry(
        "loss", "smg_adversary", "harness.parts.losses.smg_adversary:SMGAdversary", "SMG's discriminator of edge maps"
    ),
    Entry("loss", "smg_depth", "harness.parts.losses.smg_depth:SMGDepth", "SMG's map against the truth's depth"),
    Entry(
        "loss",
        "smg_structure",
        "harness.parts.losses.smg_structure:SMGStructure",
        "SMG's map against the truth's edges",
    ),
    Entry("metric", "psnr", "harness.parts.metrics.psnr:PSNR", "peak signal-to-noise ratio"),
    Entry("metric", "ssim", "harness.parts.metrics.ssim:SSIM", "structural similarity"),
    Entry("metric", "mae", "harness.parts.metrics.mae:MAE", "mean absolute error, white at 1"),
    Entry("metric", "lpips", "harness.parts.metrics.lpips:LPIPS", "learned perceptual distance, through pyiqa"),
    Entry("metric", "dists", "harness.parts.metrics.dists:DISTS", "structure and texture, through pyiqa"),
    Entry("metric", "niqe", "harness.parts.metrics.niqe:NIQE", "no reference: NIQE, through pyiqa"),
    Entry("metric", "brisque", "harness.parts.metrics.brisque:BRISQUE", "no reference: BRISQUE, through pyiqa"),
    Entry("metric", "musiq", "harness.parts.metrics.musiq:MUSIQ", "no reference: MUSIQ (KonIQ-10k), through pyiqa"),
    Entry("metric", "clipiqa", "harness.parts.metrics.clipiqa:CLIPIQA", "no reference: CLIP-IQA, through pyiqa"),
    Entry("executor", "ray", "harness.scheduling.ray_pool:RayPool", "warm workers on Ray, one machine or a cluster"),
    Entry("executor", "local", "harness.scheduling.local:LocalExecutor", "in this process, one job after the other"),
    Entry("tracker", "mlflow", "harness.tracking.mlflow:MLflowTracker", "MLflow"),
    Entry("tracker", "none", "harness.tracking.null:NullTracker", "no tracking"),
)

REGISTRY = Registry(BUILT_IN)
