"""The error of a training whose weights are lost to NaN or infinity."""


class Diverged(ValueError):
    """A loss, a gradient or a logit is not finite. A user's own rates are to blame, so it is a ValueError; a search
    records the candidate as failed and goes on."""
