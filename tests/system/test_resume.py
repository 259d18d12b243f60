"""An upload in parts that was cut off by kill -9 is continued: what the store provably has is not sent again."""
import os
import signal
import unittest

import bf

MIB = 1 << 20
LONG = bool(os.environ.get("BLOBFERRY_TEST_RESUME"))  # make resume: a 2 GiB file
SIZE, PART = (2048 * MIB, 16 * MIB) if LONG else (160 * MIB, 5 * MIB)
CONNECTIONS = 4  # parts of one file that are under way at once


class Resume(bf.TestCase):
    store = "s3"

    def big(self, size=SIZE):
        """One file of fixed, incompressible content, in constant memory."""
        ws = self.ws
        path = ws.write("big.bin", b"")
        block = os.urandom(MIB)
        with open(path, "wb") as f:
            for n in range(size // MIB):
                f.write(n.to_bytes(8, "big") + block[8:])
        ws.run("init", expect=0)
        ws.plan()
        ws.profile = "ceph"
        return self.proxy()

    def migrate(self, *more):
        return ("migrate", "--batch-id", "b1", "--part-size", str(PART), *more)

    def cut_off(self, proxy, parts, *more):
        """kill -9 once so many parts are in the store."""
        ws = self.ws
        child = ws.start(*self.migrate(*more, *(() if LONG else ("--bwlimit", "60M"))))
        bf.wait_for(lambda: len([r for r in proxy.select(op="UploadPart") if r.status == 200]) >= parts, limit=300,
                    what="parts")
        child.send_signal(signal.SIGKILL)
        ws.finish(child)
        stable = []

        def settled():  # what was on the wire has arrived, or not
            stable.append(len(self.parts_there()[1]))
            return len(stable) > 3 and len(set(stable[-3:])) == 1
        bf.wait_for(settled, what="the store to settle")

    def parts_there(self):
        (key, upload), = self.ws.store.uploads()
        pages = self.ws.store.client.get_paginator("list_parts").paginate(
            Bucket=self.ws.store.bucket, Key=key, UploadId=upload)
        return upload, [p for page in pages for p in page.get("Parts", ())]

    def sent(self, proxy):
        return sum(r.sent for r in proxy.select(op="UploadPart"))

    def test_resume_sends_at_most_one_part_per_connection_again(self):
        ws = self.ws
        proxy = self.big()
        count = SIZE // PART
        self.cut_off(proxy, count // 2)
        upload, parts = self.parts_there()
        self.assertGreaterEqual(len(parts), count // 2)
        before = self.sent(proxy)
        proxy.clear()
        result = ws.run(*self.migrate(), expect=0, limit=900)
        self.assertEqual(ws.statuses(), {"completed": 1}, result)
        self.assertEqual(proxy.count(op="CreateMultipartUpload"), 0)
        self.assertLessEqual(self.sent(proxy), SIZE - len(parts) * PART)
        self.assertLessEqual(before + self.sent(proxy), SIZE + CONNECTIONS * PART)
        self.assertEqual(ws.store.uploads(), [])
        self.assertEqual(ws.store.head("big.bin")["Metadata"]["blobferry-sha256"], ws.rows()[0]["migrated_checksum"])
        if not LONG:
            ws.check()
        told, = [e for e in ws.audit("upload_outcome")]
        self.assertIn(f"{len(parts)} parts were there", told["detail"])

    def restarted(self, proxy):
        """The old upload is gone, another one was made, and the object is right."""
        ws = self.ws
        proxy.clear()
        result = ws.run(*self.migrate(), limit=120)
        self.assertEqual(proxy.count(op="CreateMultipartUpload"), 1, result)
        self.assertEqual(ws.store.uploads(), [])
        return result

    def test_resume_not_when_the_source_has_changed(self):
        ws = self.ws
        proxy = self.big(40 * MIB)
        self.cut_off(proxy, 3)
        with open(os.path.join(ws.sources, "big.bin"), "r+b") as f:
            f.seek(38 * MIB)
            f.write(b"another")
        self.assertEqual(self.restarted(proxy).code, 0)
        ws.check()

    def test_resume_not_with_another_part_size(self):
        ws = self.ws
        proxy = self.big(40 * MIB)
        self.cut_off(proxy, 3)
        proxy.clear()
        ws.run("migrate", "--batch-id", "b1", "--part-size", "8M", expect=0)
        self.assertEqual(proxy.count(op="CreateMultipartUpload"), 1)
        ws.check()

    def test_resume_not_when_the_upload_has_expired(self):
        ws = self.ws
        proxy = self.big(40 * MIB)
        self.cut_off(proxy, 3)
        for key, upload in ws.store.uploads():
            ws.store.client.abort_multipart_upload(Bucket=ws.store.bucket, Key=key, UploadId=upload)
        self.assertEqual(self.restarted(proxy).code, 0)
        ws.check()

    def test_resume_does_not_believe_a_part_that_somebody_has_replaced(self):
        """Same size, other bytes: seen by its ETag, and sent again."""
        ws = self.ws
        proxy = self.big(40 * MIB)
        self.cut_off(proxy, 3)
        upload, parts = self.parts_there()
        ws.store.client.upload_part(Bucket=ws.store.bucket, Key="big.bin", UploadId=upload, PartNumber=1,
                                    Body=b"x" * PART)
        proxy.clear()
        ws.run(*self.migrate(), expect=0, limit=120)
        self.assertEqual(proxy.count(op="CreateMultipartUpload"), 0)
        self.assertEqual(len([r for r in proxy.select(op="UploadPart") if r.query["partNumber"] == ["1"]]), 1)
        ws.check()

    def test_resume_not_when_parts_may_not_be_listed(self):
        ws = self.ws
        proxy = self.big(40 * MIB)
        self.cut_off(proxy, 3)
        proxy.faults.append(bf.Fault("status", 403, op="ListParts", times=0))
        self.assertEqual(self.restarted(proxy).code, 0)
        ws.check()

    def test_resume_of_an_upload_that_was_complete_but_for_the_answer(self):
        """The kill came after the store had made the object: it is found, and nothing is sent."""
        ws = self.ws
        proxy = self.big(40 * MIB)
        proxy.faults.append(bf.Fault("drop_answer", op="CompleteMultipartUpload", times=0))
        proxy.faults.append(bf.Fault("delay", 60, method="HEAD", skip=2, times=0))
        child = ws.start(*self.migrate())
        bf.wait_for(lambda: "big.bin" in ws.store.keys(), what="the object")
        child.send_signal(signal.SIGKILL)
        ws.finish(child)
        proxy.faults.clear()
        proxy.clear()
        ws.run(*self.migrate(), expect=0)
        self.assertEqual(proxy.count(op="UploadPart") + proxy.count(op="CreateMultipartUpload"), 0)
        ws.check()


if __name__ == "__main__":
    unittest.main()
