"""BastionLab trains PyTorch models on data that you may not see.

A data owner uploads a dataset with a limit on what may ever be learnt of one record; a data scientist sends a model and takes
the privately trained weights home. ``Connection(host).client.torch`` is where both begin.
"""

import warnings

from bastionlab import errors
from bastionlab._connection import Client, Connection
from bastionlab._identity import Identity, PublicKey
from bastionlab._receipt_checks import verify_receipt
from bastionlab._receipts import Receipt
from bastionlab._server_info import ServerInfo
from bastionlab._version import __version__

__all__ = ["Client", "Connection", "Identity", "PublicKey", "Receipt", "ServerInfo", "__version__", "errors", "verify_receipt"]

# Said every time, in a loop too. Appended, so that a filter of the user's own still decides.
warnings.filterwarnings("always", category=errors.PrivacyWarning, append=True)
