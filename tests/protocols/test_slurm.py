"""The text of a job array. It has run under bash with Slurm's variables set, never under a real Slurm."""

from pathlib import Path

import pytest

from cocoop.protocols import job_array

COMMAND = ["/opt/my python", "-m", "cocoop", "benchmark", "few-shot", "--datasets", "it's mine/", "--only"]


def test_the_script_of_an_array():
    script = job_array(
        COMMAND, [0, 1, 2, 7], Path("/out/slurm"), Path("/home/me"), at_once=3, threads=4, options=["--partition=gpu"]
    )
    assert script.splitlines() == [
        "#!/bin/bash",
        "#SBATCH --job-name=cocoop",
        "#SBATCH --array=0-2,7%3",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --output=/out/slurm/%a.log",
        "#SBATCH --partition=gpu",
        "cd /home/me || exit 1",
        'export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"',
        "exec '/opt/my python' -m cocoop benchmark few-shot --datasets 'it'\"'\"'s mine/' --only "
        '"$SLURM_ARRAY_TASK_ID"',
    ]


@pytest.mark.parametrize(
    ("numbers", "told"), [([5], "5"), ([0, 1], "0-1"), ([0, 2, 4], "0,2,4"), ([3, 4, 5, 9, 11, 12], "3-5,9,11-12")]
)
def test_numbers_in_a_row_are_told_by_their_ends(numbers, told):
    assert f"#SBATCH --array={told}\n" in job_array(COMMAND, numbers, Path("/out"), Path("/"))
