"""The documents are run as a reader would type them: modules, workers, clients, shells."""
