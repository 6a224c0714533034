"""Recommendations over HTTP: exported models by name, a page to try them on, and items that are added meanwhile.

Folders of exported models come in; answers in JSON, a page and measurements for Prometheus go out. A request is read
and checked by ``app`` and ``guard``, waits in ``batching`` for a thread of its model, and is answered there by
``served_model``. May import what release may. The packages of the extra ``[serve]`` are imported only by ``app``,
``measures`` and ``server``, when a server starts.
"""

from recbole_mpo.release.serving.limits import Limits, RequestError
from recbole_mpo.release.serving.server import Place, serve

__all__ = ["Limits", "Place", "RequestError", "serve"]
