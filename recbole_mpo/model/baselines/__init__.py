"""Baselines that MPORec is compared with: models of other papers, controls, and counting without training.

Settings, a dataset and batches come in, losses and scores go out, as in ``recbole_mpo.model``. Baselines use parts of
the text model where they agree with it. May import what ``recbole_mpo.model`` may import.
"""

from recbole_mpo.model.baselines.bert4rec import BERT4RecFair
from recbole_mpo.model.baselines.ccdr import CCDR
from recbole_mpo.model.baselines.counting import CountText, CoVisit, Pop, TextKNN
from recbole_mpo.model.baselines.peterrec import PeterRec
from recbole_mpo.model.baselines.s3rec import S3RecFixed
from recbole_mpo.model.baselines.sasrec import SASRecCE
from recbole_mpo.model.baselines.unisrec_lora import LoRA

__all__ = [
    "CCDR",
    "BERT4RecFair",
    "CoVisit",
    "CountText",
    "LoRA",
    "PeterRec",
    "Pop",
    "S3RecFixed",
    "SASRecCE",
    "TextKNN",
]
