"""The text side g(.): the frozen tower, and the exact encoder that runs a shared prefix once and packs the rest."""
