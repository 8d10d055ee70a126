"""Instance refresh: Start, Describe, Cancel and RollbackInstanceRefresh, as an asynchronous state machine.

AWS: Auto Scaling User Guide "Use an instance refresh to update instances in an Auto Scaling group", "Undo changes with
a rollback", "Add checkpoints to an instance refresh", "Use an instance refresh with skip matching", and the API
reference of the four actions. Stock moto: none of the four exists (an HTML page with HTTP 500).
"""

from emulator.refresh.api import install

__all__ = ["install"]
