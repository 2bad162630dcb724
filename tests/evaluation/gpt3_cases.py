"""Two rows for each of GPT-3's tasks, and the requests that they become.

The rows have the fields of the sets on the Hugging Face hub. The requests are written by hand in
the layout of the figures in appendix G of the GPT-3 paper, with the first row as the example.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """Attributes:
    rows: The example and the question. A row of a dialogue has several questions.
    requests: The requests of the last question, as (context, continuation).
    right: The number of the right request, or the right completions.
    """

    rows: list
    requests: list
    right: object


def choices(context, *continuations):
    """Returns the requests of a context. Free answers have one, without a continuation."""
    return [(context, each) for each in continuations or [""]]


def anli(number):
    head = f"anli {number}: anli {number}: "
    rows = [
        {"premise": "It rains.", "hypothesis": "It is wet.", "label": 0},
        {"premise": "He sings.", "hypothesis": "He is silent.", "label": 2},
    ]
    context = (
        f"{head}It rains.\nQuestion: It is wet. True, False, or Neither? True\n\n"
        f"{head}He sings.\nQuestion: He is silent. True, False, or Neither?"
    )
    return Case(rows, choices(context, " True", " Neither", " False"), 2)


def arc():
    rows = [
        {
            "question": "What falls from clouds?",
            "choices": {"text": ["rain", "stone"], "label": ["1", "2"]},
            "answerKey": "1",
        },
        {
            "question": "Which skin surface will produce the most heat?",
            "choices": {
                "text": ["dry palms", "wet palms", "palms with oil"],
                "label": ["A", "B", "C"],
            },
            "answerKey": "B",
        },
    ]
    context = (
        "Question: What falls from clouds?\nAnswer: rain\n\n"
        "Question: Which skin surface will produce the most heat?\nAnswer:"
    )
    texts = (" dry palms", " wet palms", " palms with oil")
    return Case(rows, choices(context, *texts) + choices("Answer:", *texts), 1)


def race():
    rows = [
        {
            "article": "It rained.",
            "question": "What happened?",
            "options": ["It rained.", "It snowed.", "Nothing.", "All."],
            "answer": "A",
        },
        {
            "article": "Sue sells shells.",
            "question": "Who sells?",
            "options": ["Tom.", "Sue.", "Ann.", "No one."],
            "answer": "B",
        },
        {
            "article": "Sue sells shells.",
            "question": "She sells _ .",
            "options": ["sand", "water", "shells", "fish"],
            "answer": "C",
        },
    ]
    context = (
        "Article:\nIt rained.\n\nQ: What happened?\n\nA: It rained.\n\n"
        "Article:\nSue sells shells.\n\nQ: Who sells?\n\nA: Sue.\n\nQ: She sells _ .\n\nA:"
    )
    texts = (" sand", " water", " shells", " fish")
    return Case(rows, choices(context, *texts) + choices("A:", *texts), 2)


ANSWER_KEY = "READING COMPREHENSION ANSWER KEY\n\n"
EXAM = (
    "Final Exam with Answer Key\nInstructions: Please carefully read the following passages. For "
    "each passage, you must identify which noun the pronoun marked in *bold* refers to.\n=====\n"
)

CASES = {
    "anli_r1": anli(1),
    "anli_r2": anli(2),
    "anli_r3": anli(3),
    "arc_easy": arc(),
    "arc_challenge": arc(),
    "boolq": Case(
        [
            {"passage": "Rain -- Rain is water.", "question": "is rain dry", "answer": False},
            {"passage": "Snow -- Snow is cold.", "question": "is snow cold", "answer": True},
        ],
        choices(
            "Rain -- Rain is water.\nquestion: is rain dry?\nanswer: no\n\n"
            "Snow -- Snow is cold.\nquestion: is snow cold?\nanswer:",
            " no",
            " yes",
        ),
        1,
    ),
    "cb": Case(
        [
            {"premise": "Rents fell.", "hypothesis": "rents rose", "label": 1},
            {"premise": "Some left.", "hypothesis": "they had fun", "label": 2},
        ],
        choices(
            "Rents fell.\nquestion: rents rose. true, false, or neither?\nanswer: false\n\n"
            "Some left.\nquestion: they had fun. true, false, or neither?\nanswer:",
            " true",
            " false",
            " neither",
        ),
        2,
    ),
    "copa": Case(
        [
            {
                "premise": "The man turned on the faucet.",
                "choice1": "The toilet filled.",
                "choice2": "Water flowed.",
                "question": "effect",
                "label": 1,
            },
            {
                "premise": "My body cast a shadow over the grass.",
                "choice1": "The sun was rising.",
                "choice2": "The grass was cut.",
                "question": "cause",
                "label": 0,
            },
        ],
        choices(
            "The man turned on the faucet therefore water flowed.\n\n"
            "My body cast a shadow over the grass because",
            " the sun was rising.",
            " the grass was cut.",
        ),
        0,
    ),
    "coqa": Case(
        [
            {
                "story": "It rained.",
                "questions": ["What fell?"],
                "answers": {"input_text": ["rain"]},
            },
            {
                "story": "Helsinki is large.",
                "questions": ["Which city?", "how is it?"],
                "answers": {"input_text": ["Helsinki", "large"]},
            },
        ],
        choices(
            "It rained.\n\nQ: What fell?\n\nA: rain\n\n"
            "Helsinki is large.\n\nQ: Which city?\n\nA: Helsinki\n\nQ: how is it?\n\nA:"
        ),
        ["large"],
    ),
    "drop": Case(
        [
            {
                "passage": "It rained twice.",
                "question": "How often did it rain?",
                "answers_spans": {"spans": ["2"], "types": ["number"]},
            },
            {
                "passage": "Ann and Tom won.",
                "question": "Who won?",
                "answers_spans": {"spans": ["Ann", "Tom"], "types": ["span", "span"]},
            },
        ],
        choices(
            "Passage: It rained twice.\nQuestion: How often did it rain?\nAnswer: 2\n\n"
            "Passage: Ann and Tom won.\nQuestion: Who won?\nAnswer:"
        ),
        None,  # One completion cannot be two spans.
    ),
    "hellaswag": Case(
        [
            {
                "activity_label": "Roof removal",
                "ctx_a": "A man is on a roof.",
                "ctx_b": "he",
                "endings": ["sings.", "works.", "sleeps.", "eats."],
                "label": "1",
            },
            {
                "activity_label": "Making a cake",
                "ctx_a": "[header] How to bake [title] Mix it. [step] Stir.",
                "ctx_b": "",
                "endings": ["Bake  it.", "Eat [substeps] it.", "Wait.", "Leave."],
                "label": "3",
            },
        ],
        choices(
            "Roof removal: A man is on a roof. He works.\n\n"
            "Making a cake: How to bake. Mix it. Stir.",
            " Bake it.",
            " Eat it.",
            " Wait.",
            " Leave.",
        ),
        3,
    ),
    "lambada": Case(
        [
            {"text": "Alice went to visit her friend Bob"},
            {"text": "She said, there is more than a step"},
        ],
        choices(
            "Fill in blank:\n\nAlice went to visit her friend ____. -> Bob\n\n"
            "She said, there is more than a ____. ->",
            " step",
        ),
        0,
    ),
    "multirc": Case(
        [
            {"paragraph": "It rained.", "question": "What fell?", "answer": "Snow", "label": 0},
            {"paragraph": "Ann won.", "question": "Who won?", "answer": "Ann", "label": 1},
        ],
        choices(
            f"{ANSWER_KEY}It rained.\n\nWhat fell?\n- [False] Snow\n\nAnn won.\n\nWho won?\n",
            "- [False] Ann",
            "- [True] Ann",
        ),
        1,
    ),
    "naturalqs": Case(
        [
            {"question": "who won", "answer": ["Ann", "Ann Lee"]},
            {"question": "who played tess on touched by an angel", "answer": ["Della Reese"]},
        ],
        choices("Q: Who won?\n\nA: Ann\n\nQ: Who played tess on touched by an angel?\n\nA:"),
        ["Della Reese"],
    ),
    "openbookqa": Case(
        [
            {
                "question_stem": "Rain is",
                "choices": {"text": ["wet.", "dry."], "label": ["A", "B"]},
                "answerKey": "A",
            },
            {
                "question_stem": "Organisms require energy in order to do what?",
                "choices": {"text": ["rest soundly.", "mature and develop."], "label": ["A", "B"]},
                "answerKey": "B",
            },
        ],
        choices(
            "Rain is wet.\n\nOrganisms require energy in order to do what?",
            " rest soundly.",
            " mature and develop.",
        )
        + choices("Answer:", " rest soundly.", " mature and develop."),
        1,
    ),
    "piqa": Case(
        [
            {"goal": "Boil water", "sol1": "Freeze it.", "sol2": "Heat it.", "label": 1},
            {"goal": "How to seal wood.", "sol1": "Brush on.", "sol2": "Drip on.", "label": 0},
        ],
        choices("Boil water Heat it.\n\nHow to seal wood.", " Brush on.", " Drip on."),
        0,
    ),
    "quac": Case(
        [
            {
                "wikipedia_page_title": "Rain",
                "section_title": "Kinds",
                "context": "It rained.",
                "questions": ["what fell?"],
                "answers": {"texts": [["rain", "water"]]},
            },
            {
                "wikipedia_page_title": "William Perry",
                "section_title": "Career",
                "context": "He played for the Bears, in 1985.",
                "questions": ["what team?", "when?"],
                "answers": {"texts": [["the Bears"], ["1985", "in 1985"]]},
            },
        ],
        choices(
            "TITLE: Rain - Kinds\nPARAGRAPH: It rained.\n\nQ: what fell?\n\nA: rain\n\n"
            "TITLE: William Perry - Career\nPARAGRAPH: He played for the Bears, in 1985.\n\n"
            "Q: what team?\n\nA: the Bears\n\nQ: when?\n\nA:"
        ),
        ["1985", "in 1985"],
    ),
    "race_h": race(),
    "race_m": race(),
    "record": Case(
        [
            {
                "passage": "Ann met Tom.\n@highlight\nThey met",
                "query": "@placeholder was met.",
                "entities": ["Ann", "Tom"],
                "answers": ["Tom"],
            },
            {
                "passage": "Rabin hit Trump.\n@highlight\nAn op ed.\n@highlight\nWarns of it.",
                "query": "He condemned @placeholder's rhetoric.",
                "entities": ["Rabin", "Trump", "Donald Trump", "Rabin"],
                "answers": ["Donald Trump", "Trump"],
            },
        ],
        choices(
            "Ann met Tom.\n\n- They met\n- Tom was met.\n\n"
            "Rabin hit Trump.\n\n- An op ed.\n- Warns of it.\n",
            "- He condemned Rabin's rhetoric.",
            "- He condemned Trump's rhetoric.",
            "- He condemned Donald Trump's rhetoric.",
        ),
        2,
    ),
    "rte": Case(
        [
            {"premise": "It rains.", "hypothesis": "It is wet.", "label": 0},
            {"premise": "He sings.", "hypothesis": "He is silent.", "label": 1},
        ],
        choices(
            "It rains.\nquestion: It is wet. True or False?\nanswer: True\n\n"
            "He sings.\nquestion: He is silent. True or False?\nanswer:",
            " True",
            " False",
        ),
        1,
    ),
    "squadv2": Case(
        [
            {
                "title": "Rain",
                "context": "It rained.",
                "question": "Who fell?",
                "answers": {"text": []},
            },
            {
                "title": "The_Blitz",
                "context": "They flew 4,000 sorties, at night.",
                "question": "How many?",
                "answers": {"text": ["4,000", "4000"]},
            },
            {
                "title": "The_Blitz",
                "context": "They flew 4,000 sorties, at night.",
                "question": "When?",
                "answers": {"text": ["at night"]},
            },
        ],
        choices(
            "Title: Rain\n\nBackground: It rained.\n\nQ: Who fell?\n\nA: unanswerable\n\n"
            "Title: The_Blitz\n\nBackground: They flew 4,000 sorties, at night.\n\n"
            "Q: How many?\n\nA: 4,000\n\nQ: When?\n\nA:"
        ),
        ["at night"],
    ),
    "storycloze": Case(
        [
            {
                **{f"input_sentence_{i}": f"Day {i}." for i in (1, 2, 3, 4)},
                "sentence_quiz1": "It ended.",
                "sentence_quiz2": "It began.",
                "answer_right_ending": 1,
            },
            {
                **{f"input_sentence_{i}": f"Bob ran {i}." for i in (1, 2, 3, 4)},
                "sentence_quiz1": "He flew.",
                "sentence_quiz2": "He slept.",
                "answer_right_ending": 2,
            },
        ],
        choices(
            "Day 1. Day 2. Day 3. Day 4. It ended.\n\nBob ran 1. Bob ran 2. Bob ran 3. Bob ran 4.",
            " He flew.",
            " He slept.",
        ),
        1,
    ),
    "triviaqa": Case(
        [
            {"question": "Who won?", "answer": {"value": "Ann", "aliases": ["Ann", "Ann Lee"]}},
            {
                "question": "'Nude' is by which artist?",
                "answer": {"value": "Marcel Duchamp", "aliases": ["Duchamp", 'R. "Mutt"']},
            },
        ],
        choices("Q: Who won?\n\nA: Ann\n\nQ: 'Nude' is by which artist?\n\nA:"),
        ["Marcel Duchamp", "Duchamp", 'R. "Mutt"'],
    ),
    "webqs": Case(
        [
            {"question": "who won?", "answers": ["Ann"]},
            {"question": "what school was it?", "answers": ["School of Visual Arts", "SVA"]},
        ],
        choices("Q: Who won?\n\nA: Ann\n\nQ: What school was it?\n\nA:"),
        ["School of Visual Arts", "SVA"],
    ),
    "wic": Case(
        [
            {"sentence1": "A bank.", "sentence2": "Two banks.", "word": "bank", "label": 1},
            {"sentence1": "An outfitter.", "sentence2": "Hi.", "word": "outfitter", "label": 0},
        ],
        choices(
            "A bank.\nTwo banks.\nquestion: Is the word 'bank' used in the same way in the two "
            "sentences above?\nanswer: yes\n\nAn outfitter.\nHi.\nquestion: Is the word "
            "'outfitter' used in the same way in the two sentences above?\nanswer:",
            " no",
            " yes",
        ),
        0,
    ),
    "winograd": Case(
        [
            {
                "text": "Ann paid. His son left.",
                "pronoun": "His",
                "pronoun_loc": 10,
                "options": ["Tom", "The boss"],
                "label": 1,
            },
            {
                "text": "She likes the sweater. She thinks it looks dowdy on her.",
                "pronoun": "it",
                "pronoun_loc": 34,
                "options": ["The sweater", "The jacket"],
                "label": 0,
            },
        ],
        [
            (
                "Ann paid. The boss's son left.\n\nShe likes the sweater. She thinks " + noun,
                " looks dowdy on her.",
            )
            for noun in ("the sweater", "the jacket")
        ],
        0,
    ),
    "winogrande": Case(
        [
            {
                "sentence": "Ann beat Tom, so _ won.",
                "option1": "Ann",
                "option2": "Tom",
                "answer": "1",
            },
            {
                "sentence": "He likes fruits more than meat because the _ are sweet.",
                "option1": "meat",
                "option2": "fruits",
                "answer": "2",
            },
        ],
        [
            (
                "Ann beat Tom, so Ann won.\n\nHe likes fruits more than meat because the " + noun,
                " are sweet.",
            )
            for noun in ("meat", "fruits")
        ],
        1,
    ),
    "wsc": Case(
        [
            {
                "text": "Ann saw Sue when she sang.",
                "span1_text": "Sue",
                "span2_text": "she",
                "span2_index": 4,
                "label": 1,
            },
            {
                "text": "Mr. Lee visited Ed, as he needs his support.",
                "span1_text": "mr. lee",
                "span2_text": "his",
                "span2_index": 7,
                "label": 1,
            },
        ],
        choices(
            f"{EXAM}Passage: Ann saw Sue when *she* sang.\nQuestion: In the passage above, what "
            'does the pronoun "*she*" refer to?\nAnswer: Sue\n\n'
            "Passage: Mr. Lee visited Ed, as he needs *his* support.\nQuestion: In the passage "
            'above, what does the pronoun "*his*" refer to?\nAnswer:'
        ),
        ["mr. lee", "Mr. Lee"],
    ),
}
