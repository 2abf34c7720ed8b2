"""All mistakes, by what they are about."""

import mistakes_in_chats
import mistakes_in_clusters
import mistakes_in_commands
import mistakes_in_data
import mistakes_in_given_rows
import mistakes_in_loops
import mistakes_in_models
import mistakes_in_sequences
import mistakes_in_spaces
import mistakes_in_spans
import mistakes_in_storage
import mistakes_in_studies
import mistakes_in_training
from mistake import Mistake

GROUPS: dict[str, list[Mistake]] = {
    **mistakes_in_data.GROUPS,
    **mistakes_in_chats.GROUPS,
    **mistakes_in_given_rows.GROUPS,
    **mistakes_in_spans.GROUPS,
    **mistakes_in_sequences.GROUPS,
    **mistakes_in_models.GROUPS,
    **mistakes_in_loops.GROUPS,
    **mistakes_in_spaces.GROUPS,
    **mistakes_in_training.GROUPS,
    **mistakes_in_studies.GROUPS,
    **mistakes_in_clusters.GROUPS,
    **mistakes_in_storage.GROUPS,
    **mistakes_in_commands.GROUPS,
}
MISTAKES = [mistake for group in GROUPS.values() for mistake in group]
