"""Which stack a folder stands for, and where its state is.

STATE/stacks/NAME-ID/   everything of one stack: secrets, servers, audit log
  stack.json            who it is: its id, its project's folder, when it was made
  units/UNIT.json       what data a unit has, and when it was seen last
PROJECT/.mngdb/NAME     a link to that folder: a pointer, never a proof
"""
