"""Progress bars, and whether they are shown."""


def hidden(progress):
    """tqdm's `disable`. progress: True or False for a bar or none; None: on a terminal only."""
    return None if progress is None else not progress


def progress_bar(progress, iterable=None, **how):
    """A bar of tqdm over an iterable, or without one. progress: as above; how: tqdm's arguments."""
    from tqdm import tqdm  # here: whoever embeds one song in Python needs no bar

    return tqdm(iterable, disable=hidden(progress), **how)
