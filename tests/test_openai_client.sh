#!/bin/bash
# OpenAI's own Python client against the server. PYTHON is the interpreter, one with openai.
python=${PYTHON:-python3}
if ! "$python" -c 'import openai' 2>/dev/null; then
  echo "skipped: test_openai_client: $python has no openai (pip install openai)"
  exit 77
fi
exec "$python" tests/openai_client.py
