"""The models to beat: torchrec's own DLRM, DLRM with DCN-v2 and DeepFM, dense parts only, one file each.

B batch, I dense inputs, F categorical fields, D embedding width. Each builds an `nn.Module` with
`forward(dense [B, I], sparse [B, F, D]) -> logit [B]`, as a `Subnet` is, so one trainer, one chip model and one export
serve all.
"""

from modules.baselines.baseline import Baseline
from modules.baselines.deepfm import DeepFM
from modules.baselines.dlrm import DLRM
from modules.baselines.dlrm_dcn import DLRMDCN

__all__ = ["BASELINES", "DLRM", "DLRMDCN", "Baseline", "DeepFM"]

BASELINES: dict[str, Baseline] = {"dlrm": DLRM(), "dlrm_dcn": DLRMDCN(), "deepfm": DeepFM()}
"""The baselines by the names of command lines and files, with their default sizes."""
