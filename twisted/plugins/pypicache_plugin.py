from twisted.application.service import ServiceMaker

pypicache = ServiceMaker("pypicache", "pypicache.tap", "A cache and private index for Python packages.", "pypicache")
