"""All kinds of files that this package reads."""

from __future__ import annotations

from . import of_lists, of_models, of_pictures, of_runs, of_shards
from .kind import Kind

KINDS = {
    "pictures": Kind(of_pictures.make_pictures, of_pictures.read_picture),
    "run folders, to predict": Kind(of_runs.make_runs, of_runs.read_run, (".md", ".png")),
    "run folders, to report": Kind(of_runs.make_runs, of_runs.report_run, (".md", ".png")),
    "benchmark folders": Kind(of_runs.make_benchmark, of_runs.report_all, (".md", ".png")),
    "states of trainings": Kind(of_runs.make_states, of_runs.read_state),
    "feature caches": Kind(of_runs.make_cache, of_runs.read_cache),
    "manifests and split files": Kind(of_lists.make_lists, of_lists.read_list, (".png",)),
    "lists of class names": Kind(of_lists.make_names, of_lists.read_names),
    "annotations of the papers": Kind(of_lists.make_papers, of_lists.read_paper, (".jpg", ".png", ".JPEG", ".tif")),
    "tables and archives of pictures": Kind(of_lists.make_tables, of_lists.read_table, (".png",)),
    "files of features": Kind(of_lists.make_feature_files, of_lists.read_feature_file),
    "predictions to go on with": Kind(of_lists.make_results, of_lists.go_on_with_results, (".png",)),
    "outputs of shards": Kind(of_shards.make_outputs, of_shards.go_on, (".png",)),
    "data sets of `datasets`": Kind(of_lists.make_saved, of_lists.read_saved),
    "weights": Kind(of_models.make_weights, of_models.read_the_weights),
    "CLIPs": Kind(of_models.make_clips, of_models.load_clip, (".md",)),
    "prompts of the original": Kind(of_models.make_prompts, of_models.read_prompt),
    "tokenizers": Kind(of_models.make_tokenizers, of_models.read_tokenizer),
    "exported models": Kind(of_models.make_exported, of_models.read_exported, (".md",)),
}
"""Name -> kind; the first are pictures, of which there are more."""
