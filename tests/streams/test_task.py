from dataclasses import replace

from amlora.streams.task import Example, Task, TaskStream


def examples(*labels: str) -> tuple[Example, ...]:
    return tuple(
        Example(text=f"text {i}", label=label, row=f"test:{i}") for i, label in enumerate(labels)
    )


TASK = Task(
    name="fruit",
    instruction="Is it?",
    options=("yes", "no"),
    train=examples("yes"),
    dev=examples("no"),
    test=examples("yes", "no", "yes", "yes"),
)


def test_majority_is_the_share_of_the_most_frequent_test_label():
    assert TASK.majority() == 0.75


def test_digest_changes_with_each_part_that_decides_a_prompt_or_an_answer():
    changed = [
        replace(TASK, name="other"),
        replace(TASK, instruction="Was it?"),
        replace(TASK, options=("no", "yes")),
        replace(TASK, cue="So:"),
        replace(TASK, category="SC"),
        replace(TASK, dataset="Fruit"),
        replace(TASK, show_options=False),
        replace(TASK, train=examples("no")),
        replace(TASK, dev=examples("yes")),
        replace(TASK, test=TASK.test[::-1]),
    ]
    assert len({TASK.digest(), *(task.digest() for task in changed)}) == 1 + len(changed)


def test_digest_does_not_depend_on_where_the_rows_were_read():
    assert replace(TASK, source="/elsewhere").digest() == TASK.digest()


def test_stream_digest_depends_on_the_order_of_its_tasks_and_not_on_its_name():
    other = replace(TASK, name="other")
    one = TaskStream(name="a", tasks=(TASK, other))
    assert one.digest() != TaskStream(name="a", tasks=(other, TASK)).digest()
    assert one.digest() == TaskStream(name="b", tasks=(TASK, other)).digest()
