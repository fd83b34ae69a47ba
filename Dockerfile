# rlnut on the CPU:  docker build -t rlnut . && docker run --rm -v "$PWD/runs:/work/runs" rlnut train dqn CartPole-v1
FROM python:3.13 AS build
# with .git, so that the version is that of the tag
COPY . /source
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /source

FROM python:3.13-slim
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir /wheels/*.whl && rm -r /wheels
RUN useradd --create-home rlnut && mkdir /work && chown rlnut /work
USER rlnut
WORKDIR /work
ENTRYPOINT ["rlnut"]
CMD ["--help"]
