"""The papers' fifteen data sets: what they are, how they lie on a disk, how they are read, checked and imitated."""
