"""GPT-3's 29 tasks, one-shot, as tasks of lm-evaluation-harness: a YAML file for each.

| what a model does | tasks |
| --- | --- |
| completes a text | `hellaswag`, `lambada`, `storycloze` |
| answers from memory | `naturalqs`, `triviaqa`, `webqs` |
| finds what a pronoun means | `winograd`, `winogrande` |
| knows the everyday world, and science | `piqa`, `arc_easy`, `arc_challenge`, `openbookqa` |
| reads and answers | `coqa`, `drop`, `quac`, `race_h`, `race_m`, `squadv2` |
| SuperGLUE | `boolq`, `cb`, `copa`, `multirc`, `record`, `rte`, `wic`, `wsc` |
| infers | `anli_r1`, `anli_r2`, `anli_r3` |

Prompts are those of the GPT-3 paper (Brown et al. 2020, arXiv 2005.14165), appendix G. Each file
also says what fields a row of its data needs, and where data may be found; see `data`. The names of
the tasks begin with `gpt3_`. The modules need the extra `[eval]`.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
