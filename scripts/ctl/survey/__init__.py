"""Both regions at one moment, as everybody who can be asked says them: what `status` shows and `check` judges. It only asks."""
