"""The mathematics of G3 to G12 as pure tensor functions; nothing here needs more than torch."""
