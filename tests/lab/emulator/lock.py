"""One lock for every emulated service.

moto keeps plain dictionaries without locks, and Auto Scaling writes into EC2's; AWS's own calls are atomic.
Requests, the control endpoint and the instance-refresh workers all take this lock around each change.
"""

import threading

BACKEND = threading.RLock()
