"""Import fastai and tqdm without what they warn of; façades import this before all else."""

from blurr.process.setup import import_quietly

import_quietly()
