"""The texts of bench/detectors.py, read by presidio-analyzer's pattern recognisers without a model.

    python -m venv /tmp/peer && /tmp/peer/bin/pip install presidio-analyzer
    PYTHONPATH=. /tmp/peer/bin/python -m bench.entities_peer

Presidio is asked as its users ask it: every recogniser that works by pattern, in all its languages, with the words near
a candidate counted by the recogniser's own context words (without lemmas, which take a model), and what comes out with
a score of at least `--score`. It runs outside Gatehouse's environment, which it would double in size.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import time
from collections import Counter
from collections.abc import Sequence

from bench.detector_texts import samples

SAME = {
    "EMAIL_ADDRESS": "email", "CREDIT_CARD": "credit_card", "IBAN_CODE": "iban", "US_SSN": "ssn", "IP_ADDRESS": "ip",
    "URL": "url", "UK_NHS": "uk_nhs", "UK_NINO": "uk_nino", "ES_NIF": "es_nif", "ES_NIE": "es_nif",
    "IN_AADHAAR": "in_aadhaar", "US_PASSPORT": "passport", "US_DRIVER_LICENSE": "driver_licence",
    "US_BANK_NUMBER": "bank_account", "PHONE_NUMBER": "phone", "ABA_ROUTING_NUMBER": "us_routing",
    "MEDICAL_LICENSE": "", "DATE_TIME": "dob", "DE_TAX_ID": "de_tax_id", "FR_NIR": "fr_nir", "US_NPI": "us_npi",
    "UK_PASSPORT": "passport", "DE_PASSPORT": "passport", "US_MBI": "insurance_id", "MEDICAL_RECORD_NUMBER": "mrn",
}  # fmt: skip
NEAR = 48


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--score", type=float, default=0.4)
    least = parser.parse_args(arguments).score
    from presidio_analyzer import PatternRecognizer, predefined_recognizers

    kinds = [kind for _, kind in inspect.getmembers(predefined_recognizers, inspect.isclass)]
    recognisers = []
    for kind in kinds:
        try:
            one = kind()
        except (TypeError, ValueError, ImportError):  # it needs a model, or a service
            continue
        if isinstance(one, PatternRecognizer) or kind.__name__ == "PhoneRecognizer":
            recognisers.append(one)
    asked, found, told, right = (Counter() for _ in range(4))
    started, chars = time.perf_counter(), 0
    for sample in samples():
        asked[sample.label] += 1
        chars += len(sample.text)
        own = set()
        for one in recognisers:
            for result in one.analyze(sample.text, one.supported_entities, None) or []:
                label = SAME.get(result.entity_type, "")
                around = sample.text[max(0, result.start - NEAR) : result.end + NEAR].lower()
                score = result.score + 0.35 * any(word.lower() in around for word in one.context or [])
                if label and score >= least:
                    own.add((label, sample.text[result.start : result.end]))
        told.update(label for label, _ in own)
        hits = [value for label, value in own if label == sample.label]
        right[sample.label] += sum(value in sample.value or sample.value in value for value in hits)
        found[sample.label] += any(sample.value in value for value in hits)
    spent = (time.perf_counter() - started) * 1e6 / (chars / 1_000)
    print(f"{len(recognisers)} recognisers, score {least}, {spent:.0f} µs for 1,000 characters\n")
    print("| entity | texts | found whole | precision |\n| --- | --- | --- | --- |")
    for label in sorted(set(SAME.values()) - {""}):
        precision = f"{right[label] / told[label]:.3f}" if told[label] else "-"
        print(f"| {label} | {asked[label]} | {found[label] / max(1, asked[label]):.3f} | {precision} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
