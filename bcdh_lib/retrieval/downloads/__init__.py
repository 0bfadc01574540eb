"""Published data from the network, only where the user asks for it. No stage of the study imports this package."""
