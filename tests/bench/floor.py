"""The machine's floor: an endpoint that reads the body and answers 202, served just as the bot serves."""

import sys

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bot.web.serving import Server


async def take(request: Request) -> JSONResponse:
    """Read and answer; keep nothing."""
    return JSONResponse({"read": len(await request.body())}, status_code=202)


if __name__ == "__main__":
    Server(Starlette(routes=[Route("/{path:path}", take, methods=["POST"])]), "127.0.0.1", int(sys.argv[1])).run()
