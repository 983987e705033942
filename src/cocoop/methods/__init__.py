"""The methods. To add one: write its file and its line in `METHODS`; from outside: `cocoop.METHODS["mine"] = Mine`."""

from cocoop.methods.at_once import images_at_once
from cocoop.methods.base import OPTIMIZERS, SCHEDULES, Method, Recipe, Searched
from cocoop.methods.calibrated import Calibrated
from cocoop.methods.cocoop import CoCoOp
from cocoop.methods.coop import CoOp
from cocoop.methods.expansion import Expansion
from cocoop.methods.heads.clap import CLAP
from cocoop.methods.heads.clip_adapter import CLIPAdapter
from cocoop.methods.heads.linear_probe import LinearProbe
from cocoop.methods.heads.taskres import TaskRes
from cocoop.methods.heads.tip_adapter import TipAdapter, TipAdapterF
from cocoop.methods.heads.zs_lp import ZSLP
from cocoop.methods.inference import INFERENCES, Approximation, Inference, at_temperature, described, inference_of
from cocoop.methods.kept import expect_rebuildable, expect_setting, load_tensors
from cocoop.methods.kgcoop import KgCoOp
from cocoop.methods.prograd import ProGrad
from cocoop.methods.prompt_method import ConditionalPrompts, PromptMethod
from cocoop.methods.shortlist import Shortlist
from cocoop.methods.tangent import AGREEMENT, DIFFERENCE, TangentCheck, TangentPrompts, codes_of, expansions, tried_of
from cocoop.methods.tcp import TCP
from cocoop.methods.zero_shot import ZeroShot
from cocoop.methods.zero_shot_ensemble import ZeroShotEnsemble

METHODS: dict[str, type[Method]] = {
    "zero-shot": ZeroShot,
    "coop": CoOp,
    "cocoop": CoCoOp,
    "kgcoop": KgCoOp,
    "prograd": ProGrad,
    "tcp": TCP,
    "zero-shot-ensemble": ZeroShotEnsemble,
    "zs-lp": ZSLP,
    "clap": CLAP,
    "taskres": TaskRes,
    "clip-adapter": CLIPAdapter,
    "tip-adapter": TipAdapter,
    "tip-adapter-f": TipAdapterF,
    "linear-probe": LinearProbe,
}

BASELINE: type[Method] = ZeroShot
"""The method beside which every run on a user's own images is scored: the hand-written prompt, nothing learned."""

__all__ = [
    "AGREEMENT",
    "BASELINE",
    "CLAP",
    "CLIPAdapter",
    "DIFFERENCE",
    "INFERENCES",
    "METHODS",
    "OPTIMIZERS",
    "SCHEDULES",
    "TCP",
    "Approximation",
    "Calibrated",
    "CoCoOp",
    "CoOp",
    "ConditionalPrompts",
    "Expansion",
    "Inference",
    "KgCoOp",
    "LinearProbe",
    "Method",
    "ProGrad",
    "PromptMethod",
    "Recipe",
    "Searched",
    "Shortlist",
    "TangentCheck",
    "TangentPrompts",
    "TaskRes",
    "TipAdapter",
    "TipAdapterF",
    "ZSLP",
    "ZeroShot",
    "ZeroShotEnsemble",
    "codes_of",
    "at_temperature",
    "described",
    "expect_rebuildable",
    "expect_setting",
    "expansions",
    "images_at_once",
    "inference_of",
    "load_tensors",
    "tried_of",
]
