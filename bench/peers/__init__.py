"""The processes that are measured. Each is a command of its own and knows nothing of the runner.

What helps us helps every side in Python: Python looks for reference cycles as seldom as in ours.
"""

import gc

from app.process.memory import OBJECTS

gc.set_threshold(OBJECTS)
