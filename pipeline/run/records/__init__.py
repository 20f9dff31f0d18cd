"""What a run's files hold: one frozen dataclass per record, used by the stage that writes it and all that read it.

| file in the run folder | record | written by |
|---|---|---|
| `config.json` | the configuration dataclasses (`pipeline.config.RunConfig`) with the run's format | every stage |
| `data/files.json` | `pipeline.data.fingerprint.Fingerprint` | every stage |
| `data/integers.json` | `pipeline.training.integers.IntegerStatistics` | the first training |
| `checkpoints/<stage>/<checkpoint>/tensors.json` | `pipeline.run.tensor_files.SavedTensors` | train, retrain |
| `checkpoints/<stage>/metrics.jsonl` | `progress.MetricsLine`, one per line | train, retrain |
| `timings.json` | `progress.Timings` | chain |
| `checkpoints/supernet/result.json` | `progress.SupernetResult` | train |
| `candidates.jsonl` | `candidates.Candidate`, one per line, appended as they are judged | search |
| `winners.json` | `candidates.Winners` | search |
| `race/<trial>.json` | `pipeline.race.trial_training.Outcome`, while the race lasts | race |
| `race.jsonl` | `race.Trial`, one per line | race |
| `race.json` | `race.RaceResult` | race |
| `checkpoints/retrain/<kind>/<name>/seed_<n>/result.json` | `results.SplitMetrics` | retrain |
| `rank_study/<trial>.json` | `pipeline.race.trial_training.Outcome`, while the study lasts | rank_study |
| `rank_study.json` | `rank_study.RankStudy` | rank_study |
| `results.json` | `results.Results` | retrain |
| `codesign.json` | `codesign.Codesign` | codesign |
| `codesign_measurements.json` | `codesign.LogLosses` | codesign |
| `model.json` | `model_card.ModelCard` | export |
| `evaluations/<log>/evaluation.json` | `evaluation.ModelEvaluation` | evaluate_model |

`codec` turns records into JSON and back.
"""
