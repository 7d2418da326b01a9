"""The paper's figures 3, 4 and 5 and two studies beside them: from runs to values to drawings."""
