"""Published data from the network, only where the user asks for it. No stage of the study imports this package."""


class DownloadError(ValueError):
    """A download that cannot be finished; the message names the file or address, what is wrong, and the mend."""
