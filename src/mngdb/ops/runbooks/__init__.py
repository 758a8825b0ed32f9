"""RECOVERY_PLAYBOOK.md and OPERATIONAL_CHECKLIST.md, written from the stack that they describe."""
