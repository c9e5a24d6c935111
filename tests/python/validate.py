"""Validates each line of the standard input, which is JSON, by the JSON Schema in the file that is named. Prints how many
are valid, and what is wrong with the others."""

import json
import sys

from jsonschema import Draft202012Validator

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
assert "date-time" in validator.format_checker.checkers, "a package is missing that knows this format"
valid = 0
for number, line in enumerate(sys.stdin.buffer, 1):
    faults = [f"{number}: {fault.json_path}: {fault.message[:200]}" for fault in validator.iter_errors(json.loads(line))]
    valid += not faults
    print(*faults, sep="\n", end="\n" if faults else "")
print(f"{valid} valid")
