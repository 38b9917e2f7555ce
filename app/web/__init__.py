"""What each HTTP face has: the gateway, the view with its pages, the provider of development.

- `problems`: every way to be refused (RFC 9457); `refusals` documents them for an address.
- `openapi`: the document of an application; `strict`: bodies that are taken as it says.
- `tokens`: which access tokens are believed; `authorization`: the keys of an authorization server,
  with `jwks` and `transport`; `issuing`: tokens of our own, for commands alone.
- `operator`: who may ask about a person by key.
- `requests`: the type of a request; `addresses`: from which address it comes.
- `language`: the languages of the pages; the catalogues lie in `locale`.
- `serve`: how a face is served; `connections`: how many may be open, and for how long silent;
  `probes`: whether it lives, and whether it is ready; `security_txt`: whom to tell of a hole.
- `site`: how a page is made and sent; `templates` and `static` hold what several pages share;
  `blanks`: a page that is filled in, in place of rendered again.
- `head`: HEAD, wherever GET is taken; `headers`: what every answer has; `raw`: an answer without
  the framework; `streams`: what ends a stream.

It promises one form of refusal, one set of headers and one choice of language for all faces. It
imports `app.process` and `models`.
"""
