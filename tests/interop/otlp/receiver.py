"""An OTLP/HTTP receiver of logs that answers only after they are on the disk.

It reads requests with OpenTelemetry's own message definitions (`opentelemetry-proto`), so whatever is
not an ExportLogsServiceRequest is refused. Usage: receiver.py PORT FILE
"""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            if self.path != "/v1/logs" or self.headers["content-type"] != "application/json":
                raise ValueError(f"{self.path} {self.headers['content-type']}")
            request = json_format.Parse(body, ExportLogsServiceRequest())
        except Exception as error:  # whatever it is, the sender has to hear of it
            print(f"refused: {error}", file=sys.stderr, flush=True)
            return self.answer(400, b'{"message":"no ExportLogsServiceRequest"}')
        for resource in request.resource_logs:
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    attributes = {a.key: a.value for a in record.attributes}
                    uid = attributes["log.record.uid"].string_value
                    seq = attributes["touchstone.seq"].int_value
                    self.server.file.write(f"{seq} {uid} {record.event_name}\n")
        self.server.file.flush()
        os.fsync(self.server.file.fileno())
        self.answer(200, b"{}")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
server.file = open(sys.argv[2], "a")
server.serve_forever()
