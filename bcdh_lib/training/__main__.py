"""The training stage, alone or as one of torchrun's processes."""

from bcdh_lib.study import run

run("bcdh_lib.training.train", "train_as_one_of_several")
