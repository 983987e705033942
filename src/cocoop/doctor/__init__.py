"""What of this machine and installation cocoop depends on, looked at: what is there, what is wrong, what to do.

Nothing heavy is imported before a check runs: where torch cannot be imported, that is a finding.
"""

from cocoop.doctor.examine import CHECKS, examine
from cocoop.doctor.finding import Finding

__all__ = ["CHECKS", "Finding", "examine"]
