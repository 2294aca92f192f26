"""What a user of the package would try first. Run with: python -m unittest discover tests"""

import json
import threading
import unittest

from firn_core import CoreError, conflict, gateway, identity, mapping, masking, settings, words


class Core(unittest.TestCase):
    def test_masks(self):
        masked = masking.mask("card 4111 1111 1111 1111, ünïcode")
        self.assertEqual(masked.text, "card ****-****-****-1111, ünïcode")
        (span,) = masked.spans
        self.assertEqual((span.kind, span.start, span.end), ("CREDIT_CARD", 5, 24))
        self.assertEqual(masking.mask(masked.text).spans, [])

    def test_maps_there_and_back(self):
        document = '{"preset": "incidents"}'
        there = mapping.to_external(
            document, "incident", "title", [("title", words.ValueText("Down"))], None, []
        )
        self.assertEqual(there.shape, [("short_description", words.ValueText("Down"))])
        back = mapping.to_platform(document, "incident", "title", there.shape)
        self.assertEqual(back, [("title", words.ValueText("Down"))])
        with self.assertRaises(CoreError) as raised:
            mapping.to_platform(document, "incident", "nothing", there.shape)
        self.assertEqual(raised.exception.payload, mapping.UntranslatableNoSuchField())

    def test_tells_every_fault(self):
        faults = settings.check('{"stratgy": 1, "conflict_window": "5s"}')
        self.assertEqual([f.at for f in faults], ["conflict_window", "stratgy"])
        self.assertIsInstance(faults[0], settings.Fault)
        with self.assertRaises(CoreError) as raised:
            settings.complete("no JSON")
        self.assertEqual(raised.exception.payload[0].level, "error")

    def test_decides_between_two_edits(self):
        rivals = conflict.Rivals(
            owner="shared",
            strategy="last-write-wins",
            window=5000,
            platform_priority=0,
            external_priority=0,
            platform=conflict.Stamp(at=1000, clock=None),
            external=conflict.Stamp(at=9000, clock=words.Clock(low=0, high=0)),
        )
        self.assertEqual(conflict.decide(rivals), ("external", "last-write-wins"))

    def test_is_a_gateway(self):
        document = json.dumps({"routes": [{"path": "/hooks", "takes": "webhook", "secrets": ["a long secret"]}]})
        request = gateway.Request(method="POST", path="/hooks", headers=[], body="{}")
        verdict = gateway.receive(document, request, 0)
        self.assertIsInstance(verdict, gateway.VerdictAnswered)
        self.assertEqual(verdict.value.status, 401)
        other = gateway.Request(method="GET", path="/other", headers=[], body=None)
        self.assertIsInstance(gateway.receive(document, other, 0), gateway.VerdictOnward)

    def test_can_be_called_from_threads(self):
        keys = []
        work = lambda: keys.append(identity.correlation_key("PAY-1", 1))  # noqa: E731
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(keys, ["PAY-1"] * 4)


if __name__ == "__main__":
    unittest.main()
