"""Secrets in AWS Secrets Manager.

vault.py keeps the promises of a vault, document.py reads and changes one secret of AWS with its
staging labels, client.py asks AWS, copies.py keeps the last good answer for `fail_open`.
"""
