"""Parts of the DataLoader: collation (collate.py), fetching (fetch.py), virtual workers (worker.py).

Invariant: the names scripts import from torch.utils.data._utils exist here. Does not: hold code. Read next: collate.py.
"""

from . import collate as collate
from . import fetch as fetch
from . import worker as worker
